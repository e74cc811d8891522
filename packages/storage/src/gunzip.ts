import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { bytes, type Content, OciError } from '@cluster-image/oci';

/**
 * What a small gzip file holds, in memory; several members after one another are one file. Throws
 * ARCHIVE_INVALID where it is no gzip, is cut off, or would be larger than `limit` bytes.
 *
 * @param what how errors name the file
 */
export async function gunzip(content: Content, limit: number, what: string): Promise<Content> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    await pipeline(content.open(), createGunzip(), async (plain: AsyncIterable<Uint8Array>) => {
      for await (const chunk of plain) {
        size += chunk.length;
        if (size > limit) throw new OciError('ARCHIVE_INVALID', `${what}: over ${limit} bytes`);
        chunks.push(chunk);
      }
    });
  } catch (cause) {
    if (cause instanceof OciError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OciError('ARCHIVE_INVALID', `${what}: ${why}`, { cause });
  }
  return bytes(Buffer.concat(chunks, size));
}

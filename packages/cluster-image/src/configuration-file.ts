import { type Content, OciError, readText } from '@cluster-image/oci';
import type { z } from 'zod';
import { type Fault, readJson } from './json-text.ts';

export const configurationName = 'cluster-image.json';

/** The most that a configuration may hold, in bytes. */
const fileLimit = 1024 * 1024;

/** A configuration, and where its entries are. */
export interface ReadConfiguration<T> {
  readonly value: T;
  readonly text: string;
}

/**
 * What a configuration says. Throws INPUT_INVALID, with the line.
 *
 * @param where its path, for errors
 */
export async function readConfigurationFile<T>(
  content: Content,
  schema: z.ZodType<T>,
  where: string,
): Promise<ReadConfiguration<T>> {
  if (content.size > fileLimit) {
    throw new OciError('INPUT_INVALID', `${where} has over ${fileLimit} bytes`);
  }
  const text = await readText(content, fileLimit);
  const fault: Fault = (line, why, cause) =>
    new OciError('INPUT_INVALID', `${where}${line === undefined ? '' : `:${line}`}: ${why}`, {
      cause,
    });
  return { value: readJson(text, schema, fault), text };
}

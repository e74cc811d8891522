import { OciError } from '@cluster-image/oci';

/** The error that a work ends with. Fails where it ends well. */
export async function failureOf(work: Promise<unknown>): Promise<OciError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof OciError) return error;
  throw error ?? new Error('nothing failed');
}

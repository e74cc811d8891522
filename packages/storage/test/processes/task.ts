/** What a process is told to do: to put images into something, all under one tag or each under its own. */
export interface Task {
  readonly kind: 'store' | 'directory' | 'layout';
  readonly root: string;
  readonly repository: string;
  readonly tag?: string;
  readonly numbers: readonly number[];
}

import { main } from './main.ts';

/** The process's own entry: runs the command and sets the exit code. */
export function run(): void {
  // Whoever reads the output may have had enough of it (`| head`).
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}

import { CliError, EXIT } from './exit.ts';

type Explain = (error: unknown) => CliError | undefined;

const wantsColour = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';

const paint = (code: string, stream: NodeJS.WriteStream) => (text: string) => (wantsColour(stream) ? `\x1b[${code}m${text}\x1b[0m` : text);

/** Colours for standard error; plain text when it is not a terminal or NO_COLOR is set. */
export const style = {
  bold: paint('1', process.stderr),
  dim: paint('2', process.stderr),
  red: paint('31', process.stderr),
  green: paint('32', process.stderr),
  yellow: paint('33', process.stderr),
  cyan: paint('36', process.stderr),
};

/** Writes a result line on standard output. */
export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Writes progress or a note on standard error, so that standard output stays parseable. */
export const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Says what failed and what to do; returns the exit code. */
export const printError = (error: unknown, explain: Explain): number => {
  const known = explain(error) ?? asCliError(error);
  process.stderr.write(`${style.red('error:')} ${known.message}\n`);
  if (known.remedy !== undefined) process.stderr.write(`${known.remedy}\n`);
  return known.code;
};

const asCliError = (error: unknown): CliError => {
  if (error instanceof CliError) return error;
  if (!(error instanceof Error)) return new CliError(String(error));
  const missing = /Cannot find module '([^']+)'/.exec(error.message);
  if (missing !== null)
    return new CliError(`this build of lateen has no ${missing[1]}`, EXIT.failure, 'Update the checkout: git pull && npm start.');
  if (process.env['LATEEN_DEBUG']) process.stderr.write(`${error.stack ?? ''}\n`);
  return new CliError(error.message);
};

/** Waits until everything written has left: a pipe takes 64 KiB at once, and an exit would cut off the rest. */
export const finishOutput = (): Promise<void> => new Promise((resolve) => process.stdout.end(() => resolve()));

/** A reader that left early (`| head`) has what it wanted. */
export const endQuietlyWithoutReader = (): void => {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
};

/** Left-aligned columns separated by at least three blanks, as kubectl prints them. */
export const table = (header: readonly string[], rows: readonly (readonly string[])[], withHeader = true): string => {
  const all = withHeader ? [header, ...rows] : rows;
  const widths = header.map((_, column) => Math.max(0, ...all.map((row) => Bun.stringWidth(row[column] ?? ''))));
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - Bun.stringWidth(cell) + 3)))
        .join('')
        .trimEnd(),
    )
    .join('\n');
};

/** Cells and rows of the reports' tables. */

export const micros = (value: number): string => (Number.isFinite(value) ? value.toFixed(0) : '–');
export const mebi = (kib: number): string => (Number.isFinite(kib) ? (kib / 1024).toFixed(0) : '–');
export const percent = (share: number): string => (Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : '–');
export const three = (values: readonly number[]): string => values.map(micros).join(' / ');
export const row = (...cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
export const head = (...cells: readonly string[]): readonly string[] => [row(...cells), `|${'---|'.repeat(cells.length)}`];

/** What a script can rely on. The table is printed by `lateen help exit-codes`. */
export const EXIT = { ok: 0, failure: 1, usage: 2, notFound: 3, unreachable: 4, refused: 5, timeout: 6 } as const;

export const EXIT_MEANING: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done',
  failure: 'the command ran and failed; standard error says what, why and what to do',
  usage: 'the command line is not valid',
  notFound: 'the named object, pod or file does not exist',
  unreachable: 'no cluster answered at the address in the kubeconfig',
  refused: 'the cluster refused: not allowed, not valid, or changed in between',
  timeout: 'the time given with --timeout ended first',
};

/** An expected failure of a command: one sentence of what, and one of what to do about it. */
export class CliError extends Error {
  readonly code: number;
  readonly remedy: string | undefined;

  constructor(message: string, code: number = EXIT.failure, remedy?: string) {
    super(message);
    this.name = 'CliError';
    this.code = code;
    this.remedy = remedy;
  }
}

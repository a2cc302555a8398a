/** An expected failure of the embedded cluster: one sentence that says what is wrong and what to do about it. */
export class ClusterError extends Error {
  readonly code: ClusterErrorCode;
  constructor(code: ClusterErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ClusterError';
    this.code = code;
  }
}

export type ClusterErrorCode =
  | 'UNSUPPORTED_SYSTEM'
  | 'MISSING_PROGRAM'
  | 'NO_PERMISSION'
  | 'NO_DISK_SPACE'
  | 'PORT_IN_USE'
  | 'ALREADY_RUNNING'
  | 'START_FAILED'
  | 'NOT_READY'
  | 'BAD_OPTION'
  | 'APPLY_FAILED';

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Turns a file system error into the sentence for the user; anything else stays as it is. */
export function explainFileError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new ClusterError(
      'NO_PERMISSION',
      `Cannot write ${path} (${code}). Make it writable or set LATEEN_STATE_DIR to a directory you own.`,
      { cause: error },
    );
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ClusterError(
      'NO_DISK_SPACE',
      `No space left for ${path}. Free some or set LATEEN_STATE_DIR to a directory on another disk.`,
      { cause: error },
    );
  }
  if (typeof code === 'string' && (error as NodeJS.ErrnoException).syscall !== undefined) {
    return new ClusterError('BAD_OPTION', `Cannot use ${path} (${code}). Set LATEEN_STATE_DIR to a directory you own.`, { cause: error });
  }
  return error;
}

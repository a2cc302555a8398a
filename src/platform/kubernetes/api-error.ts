import type { Status } from './types.ts';

/** A refusal by the API server, with its `Status`; or, with code 0, no answer from it at all. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly causes: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
  readonly status: Status;
  /** From `Retry-After` or `details.retryAfterSeconds`; 0 when the server did not say. */
  readonly retryAfterSeconds: number;

  constructor(status: Status, context: string, options?: { cause?: unknown; retryAfterSeconds?: number }) {
    super(
      `${context}: ${status.message ?? status.reason ?? `HTTP ${status.code}`}`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = 'ApiError';
    this.status = status;
    this.code = status.code ?? 0;
    this.reason = status.reason ?? 'Unknown';
    this.causes = status.details?.causes ?? [];
    this.retryAfterSeconds = options?.retryAfterSeconds ?? status.details?.retryAfterSeconds ?? 0;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.code === 404;
export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.code === 409 && error.reason !== 'AlreadyExists';
export const isAlreadyExists = (error: unknown): boolean => error instanceof ApiError && error.reason === 'AlreadyExists';
/** The watch's or the page's resourceVersion is too old: list again. */
export const isGone = (error: unknown): boolean => error instanceof ApiError && (error.code === 410 || error.reason === 'Expired');
/** Nothing answered: connection refused, TLS failure, timeout. */
export const isUnreachable = (error: unknown): boolean => error instanceof ApiError && error.code === 0;

/** Turns an HTTP failure into an `ApiError`; a body that is not a `Status` becomes its message. */
export async function apiErrorFrom(response: Response, context: string): Promise<ApiError> {
  const text = await response.text().catch(() => ''); // a body cut short does not hide the status code
  const retryAfter = Number(response.headers.get('retry-after') ?? '');
  return new ApiError(
    statusFrom(text, response.status, response.statusText),
    context,
    Number.isFinite(retryAfter) && retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {},
  );
}

function statusFrom(text: string, code: number, statusText: string): Status {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && (parsed as Status).kind === 'Status')
      return { ...(parsed as Status), code: (parsed as Status).code ?? code };
  } catch {
    // not JSON: a proxy or a load balancer answered; its text is the message
  }
  const message = text.trim().slice(0, 500);
  return {
    kind: 'Status',
    status: 'Failure',
    code,
    reason: statusText || 'Unknown',
    message: message === '' ? `HTTP ${code} ${statusText}`.trim() : message,
  };
}

/** An expected failure is a value. The same shape as the one of `mesh/`, which this room may not import. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

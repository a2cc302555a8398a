/** An expected failure is a value. `E` is usually a list of problems or one error. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

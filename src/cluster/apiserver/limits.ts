/** Every bound of the API server, with its reason. */
export const LIMITS = {
  /** Largest request body; the same as kube-apiserver's. */
  bodyBytes: 3 * 1024 * 1024,
  /** Changes kept per resource for watches that resume; older resumes get 410 Gone and list again. */
  watchHistory: 4096,
  /** Changes kept in the database, so that watches can resume across a restart. */
  storedHistory: 8192,
  /** A watcher that lags by more than this is closed; it resumes from its last resourceVersion. */
  watchBufferBytes: 16 * 1024 * 1024,
  /** Depth of a JSON document; deeper ones are refused before anything walks them. */
  depth: 128,
  /** Bytes waiting for one side of an exec or port-forward before it is closed. */
  streamBufferBytes: 16 * 1024 * 1024,
  /** Verified service account tokens remembered (signature checks are the expensive part). */
  tokenCache: 4096,
  /** Pages of a chunked list that stay valid (a page is a snapshot of names only). */
  listPageMaximum: 10_000,
  /** Aliases a YAML body may expand to. */
  yamlAliases: 100,
  /** Operations in one JSON patch; the same as kube-apiserver's. */
  jsonPatchOperations: 10_000,
} as const;

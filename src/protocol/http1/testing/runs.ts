const wanted = Number(process.env['LATEEN_FUZZ_RUNS'] ?? 0);

/** Whether LATEEN_FUZZ_RUNS asks for a long run. */
export const hasFuzzRuns = wanted > 0;

/** How often a property is tried: `usual` times from one seed, so that a change is not blamed for what it did not do; LATEEN_FUZZ_RUNS times from a new seed. */
export const runs = (usual: number): { readonly numRuns: number; readonly seed?: number } =>
  hasFuzzRuns ? { numRuns: wanted } : { numRuns: usual, seed: 9112 };

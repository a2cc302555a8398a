/** The local configuration (`LOCAL_XDS`). Loaded only where one is given: its YAML reader keeps the types of scalars, and costs. */
export { type LocalConfig, parseLocalConfig, readLocalConfig } from '../local-config.ts';
export { TaggedValue } from '../local-reader.ts';

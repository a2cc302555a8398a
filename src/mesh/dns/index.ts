/** Which names of the mesh a pod may ask for, and what they resolve to (ambient contract 2.9). A door of its own: only a node proxy with a DNS proxy needs it. */
export { kubernetesSearch } from './candidates.ts';
export { type AddressType, type NameOptions, type NameResult, resolveName } from './resolve-name.ts';

export { errno, libc, SystemError } from './libc.ts';
export { inNetworkNamespace, namespaceInode } from './netns.ts';

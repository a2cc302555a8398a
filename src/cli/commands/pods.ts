import type { Command } from 'commander';

export const addPodCommands = (_root: Command): void => {};

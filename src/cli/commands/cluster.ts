import type { Command } from 'commander';

export const addClusterCommands = (_root: Command): void => {};

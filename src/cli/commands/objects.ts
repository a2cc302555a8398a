import type { Command } from 'commander';

export const addObjectCommands = (_root: Command): void => {};

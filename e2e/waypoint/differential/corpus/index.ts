import type { Case } from '../case.ts';
import { HOSTILE } from './hostile.ts';
import { ODD } from './odd.ts';
import { RESPONSES } from './responses.ts';
import { ROUTES } from './routes.ts';

export { HTTP2 } from './http2.ts';

export const HTTP1: readonly Case[] = [...ROUTES, ...RESPONSES, ...ODD, ...HOSTILE];

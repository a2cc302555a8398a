/** HTTP routing: the route plan, its compilers, its matcher and its load balancers. Re-exported by the room. */
export type * from './plan.ts';

/** Finds where each mount point of a container has to come from, without creating anything on the user's file system. */
import fs from 'node:fs';
import path from 'node:path';
import type { Mount, Placement } from './container-script.ts';

export type PlacedMount = Mount & { readonly placement: Placement };

export function planMounts(wanted: readonly Mount[]): PlacedMount[] {
  const placed: PlacedMount[] = [];
  for (const mount of [...wanted].sort((a, b) => a.target.length - b.target.length)) {
    const outer = placed.findLast(({ target }) => mount.target.startsWith(`${target}/`));
    if (outer !== undefined && !outer.isFile) {
      // A mount point inside another volume is made in that volume, as Kubernetes does.
      createPoint(path.join(outer.source, mount.target.slice(outer.target.length)), mount.isFile);
      placed.push({ ...mount, placement: outer.placement });
      continue;
    }
    const target = realTarget(mount.target);
    placed.push({ ...mount, target, placement: placementOf(target) });
  }
  return placed;
}

function createPoint(point: string, isFile: boolean): void {
  try {
    if (!isFile) fs.mkdirSync(point, { recursive: true });
    else if (!fs.existsSync(point)) {
      fs.mkdirSync(path.dirname(point), { recursive: true });
      fs.writeFileSync(point, '');
    }
  } catch {
    // read-only volume: the mount itself will say so
  }
}

/** Follows symbolic links as far as the path exists (`/var/run` is usually `/run`). */
function realTarget(target: string): string {
  let existing = path.normalize(target);
  const rest: string[] = [];
  for (;;) {
    if (existing === '/run' || existing.startsWith('/run/')) return path.join(existing, ...rest);
    try {
      return path.join(fs.realpathSync(existing), ...rest);
    } catch {
      try {
        existing = path.resolve(path.dirname(existing), fs.readlinkSync(existing)); // a link to something that is not there
      } catch {
        rest.unshift(path.basename(existing));
        existing = path.dirname(existing);
      }
    }
  }
}

function placementOf(target: string): Placement {
  if (target === '/run' || target.startsWith('/run/')) return { kind: 'run' };
  if (fs.existsSync(target)) return { kind: 'existing' };
  let over = path.dirname(target);
  while (over !== '/' && !fs.existsSync(over)) over = path.dirname(over);
  return { kind: 'missing', over };
}

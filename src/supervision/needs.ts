import { HamletError } from '../lib/errors.js';
import type { Spec } from './state.js';

/**
 * Checks that a set of specs can be brought up at all. Throws ALREADY_EXISTS when a name is there twice,
 * FAILED_PRECONDITION when a need is not declared or needs form a circle.
 */
export function checkNeeds(specs: readonly Spec[]): void {
  const byName = new Map<string, Spec>();
  for (const spec of specs) {
    if (byName.has(spec.name)) {
      throw new HamletError('ALREADY_EXISTS', `${spec.name} is in the tree already`);
    }
    byName.set(spec.name, spec);
  }

  const checked = new Set<string>();
  const check = (spec: Spec, path: readonly string[]): void => {
    if (checked.has(spec.name)) return;
    if (path.includes(spec.name)) {
      const circle = [...path.slice(path.indexOf(spec.name)), spec.name];
      throw new HamletError('FAILED_PRECONDITION', `needs form a circle: ${circle.join(' → ')}`);
    }
    for (const need of [...spec.needs, ...(spec.follows ?? []), ...(spec.yieldsTo ?? [])]) {
      const needed = byName.get(need);
      if (needed === undefined) {
        throw new HamletError('FAILED_PRECONDITION', `${spec.name} needs ${need}, which is not declared`);
      }
      check(needed, [...path, spec.name]);
    }
    checked.add(spec.name);
  };
  for (const spec of specs) check(spec, []);
}

/** Whether what `spec` declares cannot be without `name`, or follows it. */
export function dependsOn({ needs, follows = [] }: Spec, name: string): boolean {
  return needs.includes(name) || follows.includes(name);
}

import type { WrapView } from '../../../src/lib/ring/ring.js';

/** The writer's death, at the n-th store. */
export class Death extends Error {}

const storing = new Set(['set', 'fill', 'copyWithin']);

/**
 * Makes views whose n-th store from now on throws, and every one after it too. A store of many bytes at once is
 * done by half first: a thread can end in the middle of it.
 */
export function mortal(storesToLive: () => number, onStore: () => void): WrapView {
  const store = () => {
    if (storesToLive() <= 0) throw new Death();
    onStore();
  };
  return <T extends object>(view: T): T =>
    new Proxy(view, {
      set(target, key, value) {
        store();
        return Reflect.set(target, key, value, target);
      },
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...values: unknown[]): unknown => {
          const call = (given: unknown[]): unknown => Reflect.apply(value, target, given) as unknown;
          if (!storing.has(String(key))) return call(values);
          if (storesToLive() === 1) {
            call(half(String(key), values));
            onStore();
          }
          store();
          return call(values);
        };
      },
    });
}

function half(method: string, values: unknown[]): unknown[] {
  const [first, second, third] = values;
  if (method === 'set' && first instanceof Uint8Array) return [first.subarray(0, first.length >> 1), second];
  if (method === 'fill' && typeof second === 'number' && typeof third === 'number') {
    return [first, second, (second + third) >> 1];
  }
  return values;
}

import { builtinLabel, type KubernetesObject } from './object.js';

/** What has to be done about one object, and why. */
export type Action =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'create' } & Write)
  | ({ readonly kind: 'replace' } & Write)
  /** Removed and created: it differs in what may not be changed. */
  | ({ readonly kind: 'remake' } & Write)
  | { readonly kind: 'remove'; readonly reason: string };

export interface Write {
  readonly desired: KubernetesObject;
  readonly reason: string;
}

export interface Situation {
  /** How the object has to be; undefined for one that is not ours. */
  readonly desired: KubernetesObject | undefined;
  /** How it is; undefined when there is none. */
  readonly observed: KubernetesObject | undefined;
  /** What the API server made of the desired object when it was written last: it may fill in defaults. */
  readonly settled: KubernetesObject | undefined;
  /** The field that the API server lets nobody change, if the kind has one. */
  readonly fixedField: string | undefined;
}

/** The one place that says what the reconciler does. Pure. */
export function decide({ desired, observed, settled, fixedField }: Situation): Action {
  if (desired === undefined) return decideForeign(observed);
  if (observed === undefined) return { kind: 'create', desired, reason: 'it is missing' };
  if (observed.metadata.deletionTimestamp !== undefined) {
    // Somebody's finalizer holds it back. Ours has none, so that replacing it lets the deletion finish.
    return { kind: 'replace', desired, reason: 'it is being deleted' };
  }
  if (fixedField !== undefined) {
    const fixed = firstDifference(desired[fixedField], observed[fixedField], fixedField);
    if (fixed !== undefined) return { kind: 'remake', desired, reason: `${fixed} was altered` };
  }
  const difference = firstDifference(content(desired), content(observed));
  if (difference === undefined) return { kind: 'none' };
  if (settled !== undefined && firstDifference(content(settled), content(observed)) === undefined) {
    return { kind: 'none' };
  }
  return { kind: 'replace', desired, reason: `${difference} was altered` };
}

function decideForeign(observed: KubernetesObject | undefined): Action {
  if (observed === undefined || observed.metadata.deletionTimestamp !== undefined) return { kind: 'none' };
  if (observed.metadata.labels?.[builtinLabel.key] !== builtinLabel.value) return { kind: 'none' };
  return { kind: 'remove', reason: 'it carries the label of the built-in objects and is none of them' };
}

/**
 * An object without what the API server owns. Of the metadata only what changes the meaning of an object or of its
 * deletion is left; apiVersion and kind are known from where the object came from, and lists leave them out.
 */
export function content(object: KubernetesObject): Readonly<Record<string, unknown>> {
  const { apiVersion: _apiVersion, kind: _kind, metadata, status: _status, ...rest } = object;
  const { labels = {}, annotations = {}, finalizers = [], ownerReferences = [] } = metadata;
  return { ...rest, metadata: { labels, annotations, finalizers, ownerReferences } };
}

/**
 * Where two JSON values differ first: "rules[0].verbs", or undefined when they are equal. The order of an object's
 * fields does not matter, that of a list's items does; a field that is null or undefined is like one that is absent.
 */
export function firstDifference(a: unknown, b: unknown, path = ''): string | undefined {
  if (Object.is(a, b) || (a ?? b ?? null) === null) return undefined;
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length) return path || 'it';
    return firstOf(a.keys(), (i) => firstDifference(a[i], b[i], `${path}[${i}]`));
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return firstOf(keys, (key) => firstDifference(a[key], b[key], path === '' ? key : `${path}.${key}`));
  }
  return path || 'it';
}

function firstOf<K>(keys: Iterable<K>, find: (key: K) => string | undefined): string | undefined {
  for (const key of keys) {
    const found = find(key);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

import { HamletError } from '../../lib/errors.js';

/** Whether `name` is `prefix` or below it in the tree of dotted names. */
export function isWithin(name: string, prefix: string): boolean {
  return name === prefix || name.startsWith(`${prefix}.`);
}

/**
 * The logs that are meant by what was asked for: a log's own name means that log alone, any other name all below it,
 * and so does "NAME.*". In the order of `names`, each once. NOT_FOUND, with the names that exist, for what means none.
 */
export function select(asked: readonly string[], names: readonly string[]): ReadonlySet<string> {
  const chosen = new Set<string>();
  for (const entry of asked) {
    const found = names.filter((name) => means(entry, name, names));
    if (found.length === 0) {
      throw new HamletError('NOT_FOUND', `there is no log of ${entry}; there are ${names.join(', ')}`, {
        details: { names: [...names] },
      });
    }
    for (const name of found) chosen.add(name);
  }
  return new Set(names.filter((name) => chosen.has(name)));
}

/**
 * Whether what was asked for has to do with `subject`, which need not have a log. An object of the cluster ("Kind name";
 * no component's name has a space) is the API server's.
 */
export function concerns(asked: readonly string[], subject: string, names: readonly string[]): boolean {
  const component = subject.includes(' ') ? 'kube.apiserver' : subject;
  return asked.some((entry) => means(entry, component, names));
}

function means(entry: string, name: string, names: readonly string[]): boolean {
  if (entry.endsWith('.*')) return name !== entry.slice(0, -2) && isWithin(name, entry.slice(0, -2));
  return names.includes(entry) ? name === entry : isWithin(name, entry);
}

/** A table as iptables-save(8) prints it. */
export interface Table {
  readonly name: string;
  /** By the chain's name: the policy of one of the kernel's chains, or "-" for any other. */
  readonly chains: ReadonlyMap<string, string>;
  /** Lines that begin with "-A CHAIN". */
  readonly rules: readonly string[];
}

export interface Removal {
  readonly table: string;
  readonly chains: readonly string[];
  /** Rules of chains that stay. */
  readonly rules: readonly string[];
  readonly rulesInChains: number;
}

export interface Ownership {
  /** Whether KUBE-* chains are this node's: every kube-proxy names its chains so. */
  readonly kubernetes: boolean;
  /** Whether a sandbox of the node's network is this node's; every Hamlet node calls its network the same. */
  readonly sandbox: (id: string) => boolean;
}

/** The name of the node's network (src/workers/kubelet/cni.ts). */
const networkName = 'hamlet';

/** What CNI's portmap plugin makes once for the rules of all networks, in its plugins' release 0.8 to 1.x. */
const sharedByPortmap = ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ'];

/** Reads what iptables-save has printed, with or without counters. */
export function parseTables(saved: string): Table[] {
  const tables: { name: string; chains: Map<string, string>; rules: string[] }[] = [];
  for (const line of saved.split('\n')) {
    const table = tables.at(-1);
    const rule = line.replace(/^\[\d+:\d+\] /, '');
    if (line.startsWith('*')) {
      tables.push({ name: line.slice(1), chains: new Map(), rules: [] });
    } else if (line.startsWith(':')) {
      const [chain = '', policy = '-'] = line.slice(1).split(' ');
      table?.chains.set(chain, policy);
    } else if (rule.startsWith('-A ')) {
      table?.rules.push(rule);
    }
  }
  return tables;
}

/** What has to go out of a table; undefined when it has nothing of the node's. */
export function planRemoval(table: Table, ownership: Ownership): Removal | undefined {
  const gone = new Set(
    [...table.chains.keys()].filter((chain) => ownership.kubernetes && chain.startsWith('KUBE-')),
  );
  const rules = table.rules.map(parseRule);
  for (const { chain, target, sandbox } of rules) {
    if (sandbox === undefined || !ownership.sandbox(sandbox)) continue;
    for (const name of [chain, target]) if (/^CNI-(DN-)?[0-9a-f]+$/.test(name)) gone.add(name);
  }
  // The plugin's own chains go with the last rule that is anybody's.
  const isInUse = rules.some(({ chain, target }) => chain === 'CNI-HOSTPORT-DNAT' && !gone.has(target));
  const someAreOurs = rules.some(({ chain, target }) => chain === 'CNI-HOSTPORT-DNAT' && gone.has(target));
  const isUnused = !rules.some(({ chain }) => chain === 'CNI-HOSTPORT-DNAT');
  if (!isInUse && (someAreOurs || (isUnused && ownership.kubernetes))) {
    for (const name of sharedByPortmap) if (table.chains.has(name)) gone.add(name);
  }
  const staying = rules.filter(({ chain, target }) => !gone.has(chain) && gone.has(target));
  if (gone.size === 0) return undefined;
  return {
    table: table.name,
    chains: [...gone],
    rules: staying.map(({ text }) => text),
    rulesInChains: rules.filter(({ chain }) => gone.has(chain)).length,
  };
}

/** The input for `iptables-restore --noflush` that carries a plan out, each table as one transaction. */
export function restoreInput(removals: readonly Removal[]): string {
  return removals
    .flatMap(({ table, chains, rules }) => [
      `*${table}`,
      ...rules.map((rule) => rule.replace(/^-A/, '-D')),
      // Emptied first, all of them: a chain that another one jumps to cannot be deleted.
      ...chains.map((chain) => `-F ${chain}`),
      ...chains.map((chain) => `-X ${chain}`),
      'COMMIT\n',
    ])
    .join('\n');
}

/** Whether there is nothing in a table that says anything: no rule, no chain, no policy but to accept. */
export function isEmpty({ chains, rules }: Table): boolean {
  return rules.length === 0 && [...chains.values()].every((policy) => policy === 'ACCEPT');
}

function parseRule(text: string) {
  // A comment can hold anything, also what looks like the rest of a rule.
  const bare = text.replace(/ --comment ("(?:[^"\\]|\\.)*"|\S+)/g, '');
  const named = / --comment "(?:dnat )?name: \\"([^"\\]*)\\" id: \\"([^"\\]*)\\""/.exec(text);
  return {
    text,
    chain: /^-A (\S+)/.exec(bare)?.[1] ?? '',
    target: / -[jg] (\S+)/.exec(bare)?.[1] ?? '',
    sandbox: named?.[1] === networkName ? named[2] : undefined,
  };
}

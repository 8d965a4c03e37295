import { existsSync } from 'node:fs';
import { isHamletError } from '../../lib/errors.js';
import type { Config } from '../../platform/config.js';
import { run } from './command.js';
import {
  isEmpty,
  parseTables,
  planRemoval,
  restoreInput,
  type Ownership,
  type Removal,
} from './iptables-rules.js';
import { count, joined, type Kind } from './kind.js';
import { otherKubernetes } from './processes.js';
import { readTraces } from './traces.js';

/** The kernel's two rule sets, each with programs of its own. */
const families = [
  { save: 'iptables-save', restore: 'iptables-restore', isOn: () => true },
  // Without IPv6 in the kernel there are no rules for it, and the programs fail.
  { save: 'ip6tables-save', restore: 'ip6tables-restore', isOn: () => existsSync('/proc/net/if_inet6') },
] as const;
type Family = (typeof families)[number];

/** Tables in which the node's components put rules, or chains to learn from that all rules were flushed. */
const usedTables: ReadonlySet<string> = new Set(['filter', 'nat', 'mangle']);

/**
 * The chains of kube-proxy, of the kubelet and of the node's network, and every rule that leads into one.
 * The kernel's table of connections is left alone.
 */
export function firewall(config: Config): Kind {
  return {
    name: 'firewall',
    async find() {
      const removals: Removal[] = [];
      for (const family of families.filter(({ isOn }) => isOn())) {
        const saved = await save(family);
        if (typeof saved === 'string') removals.push(...plan(saved, config));
      }
      const inside = removals.reduce(
        (sum, { rules, rulesInChains }) => sum + rules.length + rulesInChains,
        0,
      );
      return joined(count(removals.flatMap(({ chains }) => chains).length, 'chain'), count(inside, 'rule'));
    },
    async remove() {
      const other = otherKubernetes(config);
      const failed: string[] = [];
      for (const family of families.filter(({ isOn }) => isOn())) {
        failed.push(...(await removeRules(family, config)));
      }
      const left = other === undefined ? [] : [`KUBE-* chains, which ${other} uses too`];
      return { left, failed };
    },
  };
}

async function removeRules(family: Family, config: Config): Promise<string[]> {
  const saved = await save(family);
  if (typeof saved !== 'string') return [saved.problem];
  const removals = plan(saved, config);
  if (removals.length > 0) {
    const { code, complaint } = await run(family.restore, ['--noflush', '--wait=5'], restoreInput(removals));
    if (code !== 0) {
      const tables = removals.map(({ table }) => table).join(', ');
      return [
        `the rules in ${tables} cannot be removed: ${family.restore}: ${complaint}; run the reset again`,
      ];
    }
  }
  await removeEmptyTables(family);
  return [];
}

/**
 * iptables on nf_tables makes a table with its first rule, and leaves it there. An input without --noflush that puts
 * nothing into a table takes it away. The older iptables has its tables in the kernel for good.
 */
async function removeEmptyTables(family: Family): Promise<void> {
  const saved = await save(family);
  if (typeof saved !== 'string' || !saved.includes('(nf_tables)')) return;
  const empty = parseTables(saved).filter((table) => usedTables.has(table.name) && isEmpty(table));
  if (empty.length === 0) return;
  await run(family.restore, ['--wait=5'], empty.map(({ name }) => `*${name}\nCOMMIT\n`).join(''));
}

function plan(saved: string, config: Config): Removal[] {
  const traces = readTraces(config);
  const isAlone = otherKubernetes(config, traces) === undefined;
  const ownership: Ownership = {
    kubernetes: isAlone,
    sandbox: (id) => isAlone || traces.containerIds.has(id),
  };
  return parseTables(saved).flatMap((table) => planRemoval(table, ownership) ?? []);
}

/** The rules of a family as text, or why there is none. */
async function save({ save: program }: Family): Promise<string | { readonly problem: string }> {
  try {
    const { code, stdout, complaint } = await run(program, []);
    if (code === 0) return stdout;
    return { problem: `the firewall's rules cannot be read: ${program}: ${complaint}` };
  } catch (error) {
    if (!isHamletError(error, 'NOT_FOUND')) throw error;
    return {
      problem: `the firewall's rules cannot be read: ${error.message}; install iptables and run the reset again`,
    };
  }
}

import { execFileSync } from 'node:child_process';
import { damage } from './fault.js';

const chain = 'HAMLET-CHAOS';
/** The major number of the queueing discipline; nobody else's by chance. */
const handle = '7a05:';

/** What becomes of the packets on loopback that come from or go to the node's ports; nobody else's are touched. */
export type Trouble =
  | { readonly kind: 'lost'; readonly share: number }
  /** All of them wait for each other behind a line of so few kilobits a second. */
  | { readonly kind: 'delayed'; readonly kbits: number };

export interface NetworkDamage extends Disposable {
  /** How many packets it has met so far. */
  readonly packets: number;
}

/** Does so until the result is disposed of. Takes away what a killed run of this has left. */
export function troubleOnLoopback(ports: readonly number[], trouble: Trouble): NetworkDamage {
  clear();
  const undo = damage(clear);
  const { table, from } = places[trouble.kind];
  const packets = ['-p', 'tcp', '-m', 'multiport', '--ports', ports.join()];
  iptables(table, '-N', chain);
  if (trouble.kind === 'lost') {
    const share = ['-m', 'statistic', '--mode', 'random', '--probability', String(trouble.share)];
    iptables(table, '-A', chain, ...packets, ...share, '-j', 'DROP');
  } else {
    tc('qdisc', 'add', 'dev', 'lo', 'root', 'handle', handle, 'htb', 'default', '0');
    // A burst of one small packet: what comes behind it waits.
    const rate = ['rate', `${trouble.kbits}kbit`, 'burst', '2k', 'cburst', '2k'];
    tc('class', 'add', 'dev', 'lo', 'parent', handle, 'classid', `${handle}1`, 'htb', ...rate);
    tc('qdisc', 'add', 'dev', 'lo', 'parent', `${handle}1`, 'bfifo', 'limit', '16mb');
    iptables(table, '-A', chain, ...packets, '-j', 'CLASSIFY', '--set-class', `${handle}1`);
  }
  iptables(table, '-I', ...from, '-j', chain);
  return {
    get packets() {
      const rule = iptables(table, '-v', '-x', '-n', '-L', chain).trim().split('\n').at(-1) ?? '';
      return Number(rule.trim().split(/\s+/)[0]);
    },
    [Symbol.dispose]: () => undo[Symbol.dispose](),
  };
}

const places = {
  lost: { table: 'filter', from: ['INPUT', '-i', 'lo'] },
  delayed: { table: 'mangle', from: ['POSTROUTING', '-o', 'lo'] },
} as const;

function clear(): void {
  for (const { table, from } of Object.values(places)) {
    const isThere = iptables(table, '-S').includes(`-N ${chain}`);
    if (!isThere) continue;
    if (iptables(table, '-S', from[0]).includes(`-j ${chain}`)) iptables(table, '-D', ...from, '-j', chain);
    iptables(table, '-F', chain);
    iptables(table, '-X', chain);
  }
  if (tc('qdisc', 'show', 'dev', 'lo').includes(`htb ${handle} root`))
    tc('qdisc', 'del', 'dev', 'lo', 'root');
}

function iptables(table: string, ...args: readonly string[]): string {
  return execFileSync('iptables', ['-w', '10', '-t', table, ...args], { encoding: 'utf8' });
}

function tc(...args: readonly string[]): string {
  return execFileSync('tc', args, { encoding: 'utf8' });
}

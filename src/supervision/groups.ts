import { HamletError } from '../lib/errors.js';
import { healthyResetMs } from './backoff.js';

/**
 * So many failures within the window, with no healthy spell of the reset time between them, are a crash loop. The
 * slowest one, which uses up its time to start, to stop and to wait each time, fails every 100 s.
 */
export const crashLoopFailures = 5;
export const crashLoopWindowMs = 600_000;

/** How a member is, the worst last. */
const ranks = ['up', 'unknown', 'under-way', 'failed'] as const;

/** What is known of one that a group has. */
export interface Member {
  readonly name: string;
  /** `under-way` is what is not there yet and has not failed either; `unknown` what nobody has spoken of. */
  readonly kind: (typeof ranks)[number];
  /** Why, in words. */
  readonly message: string;
}

/** An end of a member that counts against it. */
export interface Failure {
  readonly name: string;
  /** By this a failure is known again when more of it is told. */
  readonly id: number;
  /** The cause in words. */
  readonly message: string;
  /** Wall clock, as the next one: for people to read, nothing is reckoned with them. */
  readonly atMs: number;
  /** When it is tried again; null while that is not known. */
  readonly nextTryMs: number | null;
}

/** A member that fails again and again. */
export interface CrashLoop {
  readonly name: string;
  /** How often it has failed, and since when (wall clock). */
  readonly failures: number;
  readonly sinceMs: number;
  readonly last: Failure;
  /** Whether it is up at the moment, and has to stay so for the reset time. */
  readonly isUp: boolean;
}

/** What a group is, by its members. */
export interface GroupState {
  /** Members in a crash loop, the one that has failed most often first. */
  readonly loops: readonly CrashLoop[];
  /** All others that are not up, the worst first, each with the time (of the clock that was passed in) since when. */
  readonly missing: readonly (Member & { readonly sinceMs: number })[];
}

interface Entry {
  member: Member;
  /** Since when it is up, or is not. */
  sinceMs: number;
  /** Those since the last healthy spell, while it is no crash loop; each with its time by the clock passed in. */
  recent: readonly { readonly failure: Failure; readonly nowMs: number }[];
  loop: { failures: number; readonly sinceMs: number } | undefined;
  last: Failure | undefined;
}

/**
 * The groups that dotted names make: `kube` of all `kube.*`, and one of everything, whose name is passed in. A group
 * does nothing; it tells how its members are, and what goes wrong with one is told by every group above it.
 * Pure: the time (monotonic) is passed in.
 */
export class Groups {
  readonly #entries = new Map<string, Entry>();
  readonly #groups = new Map<string, readonly string[]>();

  constructor(members: readonly string[], everything: string, nowMs: number) {
    for (const name of members) {
      const member = { name, kind: 'unknown', message: 'nothing is known of it yet' } as const;
      const empty = { recent: [], loop: undefined, last: undefined };
      this.#entries.set(name, { member, sinceMs: nowMs, ...empty });
      for (const group of [everything, ...groupsOf(name)]) {
        this.#groups.set(group, [...(this.#groups.get(group) ?? []), name]);
      }
    }
  }

  get names(): readonly string[] {
    return [...this.#groups.keys()];
  }

  /** Takes in how a member is. One that no group has is nobody's business. */
  update(member: Member, nowMs: number): void {
    const entry = this.#entries.get(member.name);
    if (entry === undefined) return;
    forgive(entry, nowMs);
    if ((member.kind === 'up') !== (entry.member.kind === 'up')) entry.sinceMs = nowMs;
    entry.member = member;
  }

  /** Takes in a failure, or what more is known of the last one. It may be told late, when the member is up again. */
  failed(failure: Failure, nowMs: number): void {
    const entry = this.#entries.get(failure.name);
    if (entry === undefined) return;
    const isNew = failure.id !== entry.last?.id;
    if (isNew) {
      forgive(entry, nowMs);
      // Whenever it failed, it has not been well all the time until now.
      if (entry.member.kind === 'up') entry.sinceMs = nowMs;
      if (entry.loop === undefined) count(entry, failure, nowMs);
      else entry.loop.failures += 1;
    }
    entry.last = failure;
  }

  /** Throws NOT_FOUND for a name that is no group's. */
  state(group: string, nowMs: number): GroupState {
    const members = this.#groups.get(group);
    if (members === undefined) {
      throw new HamletError('NOT_FOUND', `there is no group ${group}; there are ${this.names.join(', ')}`);
    }
    const entries = members.flatMap((name) => this.#entries.get(name) ?? []);
    for (const entry of entries) forgive(entry, nowMs);
    const loops = entries.flatMap(({ member, loop, last }): CrashLoop[] =>
      loop === undefined || last === undefined
        ? []
        : [{ name: member.name, ...loop, last, isUp: member.kind === 'up' }],
    );
    const missing = entries
      .filter(({ member, loop }) => member.kind !== 'up' && loop === undefined)
      .map(({ member, sinceMs }) => ({ ...member, sinceMs }));
    return {
      loops: loops.sort((a, b) => b.failures - a.failures),
      missing: missing.sort((a, b) => ranks.indexOf(b.kind) - ranks.indexOf(a.kind)),
    };
  }

  /** When a crash loop is over unless something happens before, or undefined when there is no such time. */
  nextWakeMs(): number | undefined {
    const times = [...this.#entries.values()]
      .filter(({ member, loop }) => loop !== undefined && member.kind === 'up')
      .map(({ sinceMs }) => sinceMs + healthyResetMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

/** "a.b.c" is in "a" and in "a.b". */
function groupsOf(name: string): string[] {
  const words = name.split('.');
  return words.slice(1).map((_, index) => words.slice(0, index + 1).join('.'));
}

/** A healthy spell earns a fresh start, as it does with the wait before a restart. */
function forgive(entry: Entry, nowMs: number): void {
  if (entry.member.kind !== 'up' || nowMs - entry.sinceMs < healthyResetMs) return;
  entry.recent = [];
  entry.loop = undefined;
}

function count(entry: Entry, failure: Failure, nowMs: number): void {
  const recent = [...entry.recent, { failure, nowMs }].filter(
    (one) => nowMs - one.nowMs <= crashLoopWindowMs,
  );
  entry.recent = recent;
  if (recent.length < crashLoopFailures) return;
  entry.loop = { failures: recent.length, sinceMs: recent[0]?.failure.atMs ?? failure.atMs };
  entry.recent = [];
}

import type { FollowRequest } from '../../ipc/services/logs.js';
import { HamletError } from '../../lib/errors.js';
import type { LineBlock } from '../../lib/ring/block.js';
import type { Ring } from '../../lib/ring/ring.js';
import { select } from './selection.js';
import type { LogStore } from './store.js';

/** What a follower needs of the store. */
export type ReadableStore = Pick<LogStore, 'rings' | 'ring' | 'archive' | 'latestRun'>;

/** One log that is read, up to where it has been read. The follower holds no lines, so that a slow one costs nothing. */
export interface Source {
  readonly name: string;
  readonly ring: Ring;
  /** The number of the next line, and the first one that is not wanted any more. */
  next: number;
  end: number;
  /** What the reader of the stream knows of `next`. */
  told: number;
  /** Whether the line before `next` arrived after the time that was asked for. */
  isPast: boolean;
  /** The only run that is wanted, if there is one. */
  readonly run: number | undefined;
  /** Whether only records that tell about the chosen components are wanted. */
  readonly eventsOnly: boolean;
  /** What the disk had when it was asked for lines that are no longer in memory. */
  onDisk: OnDisk | undefined;
}

/** The first lines from number `from` on; without any, all up to number `to` are lost. */
interface OnDisk {
  readonly from: number;
  readonly to: number;
  readonly block: LineBlock | undefined;
}

/**
 * The logs that a request asks for, each at the place where it is to be read from. Throws NOT_FOUND for components that
 * have no log, and for a run that none of them has had.
 */
export function sourcesOf(store: ReadableStore, request: FollowRequest): Source[] {
  const names = [...store.rings.keys()];
  const chosen = select(request.components, names);
  checkRun(
    request,
    [...chosen].map((name) => store.latestRun(name)),
  );
  const isOwn = (name: string): boolean => name === 'hamlet' || name.startsWith('hamlet.');
  return names
    .filter((name) => chosen.has(name) || (request.events && isOwn(name)))
    .map((name) => {
      const ring = store.ring(name);
      const position = request.positions.find(({ component }) => component === name);
      const end = request.ends.find(({ component }) => component === name)?.next ?? Infinity;
      // A number that was never given is of another node, or of one whose state is gone.
      const next = position === undefined || position.next > ring.written ? ring.first : position.next;
      const eventsOnly = !chosen.has(name);
      return {
        name,
        ring,
        next,
        end: request.follow ? end : Math.min(end, ring.written),
        told: -1,
        isPast: false,
        run: eventsOnly ? undefined : runOf(request, store.latestRun(name)),
        eventsOnly,
        onDisk: undefined,
      };
    });
}

/** Whether what the disk had is what the source needs next. */
export function knows({ next, onDisk }: Source): boolean {
  if (onDisk === undefined || next < onDisk.from) return false;
  return next < (onDisk.block?.end ?? onDisk.to);
}

function runOf({ run }: FollowRequest, latest: number): number | undefined {
  if (run === null) return undefined;
  return run === 'previous' ? latest - 1 : run;
}

/** Throws NOT_FOUND for a run that none of these logs has had, unless it is one that may come. */
function checkRun({ run, follow, components }: FollowRequest, latest: readonly number[]): void {
  const asked = components.join(', ');
  if (run === 'previous' && latest.every((last) => last <= 1)) {
    throw new HamletError('NOT_FOUND', `no start of ${asked} before its latest one is known`);
  }
  if (typeof run === 'number' && !follow && latest.every((last) => last < run)) {
    throw new HamletError('NOT_FOUND', `there was no start number ${run} of ${asked} yet`);
  }
}

import { EventEmitter, once } from 'node:events';
import { getPriority } from 'node:os';
import t from 'tap';
import { LoudPipes } from '../../../src/workers/logs/loud-pipes.js';

/** Only root may raise a priority again. */
const isRoot = process.getuid?.() === 0;

void t.test(
  'all loud pipes are read in turn, at a lower priority for as long as there are any',
  async (t) => {
    // That of the main thread, which this is: its number is the process's.
    const before = getPriority();
    const pipes = new LoudPipes();
    const events = new EventEmitter();
    const turns: string[] = [];
    const pipe = (name: string, count: number) => {
      const reader = {
        turn() {
          t.ok(getPriority() > before, 'with less priority');
          turns.push(name);
          if (--count === 0) {
            pipes.remove(reader);
            events.emit(name);
          }
          return 65_536;
        },
      };
      return reader;
    };
    const ends = [once(events, 'a'), once(events, 'b')];
    pipes.add(pipe('a', 2));
    pipes.add(pipe('b', 4));
    await Promise.all(ends);
    t.same(turns, ['a', 'b', 'a', 'b', 'b', 'b']);
    await new Promise((resolve) => setImmediate(resolve));
    if (isRoot) t.equal(getPriority(), before, 'with its own again');

    const again = once(events, 'c');
    pipes.add(pipe('c', 1));
    await again;
    t.equal(turns.at(-1), 'c');
  },
);

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Pipes } from '../../../src/host/pipes.js';
import { ringViews, ringWord, sequencesPerStart } from '../../../src/lib/ring/memory.js';

void t.test('no number comes again when a start has used up its own', async (t) => {
  const dir = t.testdir();
  const startsFile = join(dir, 'starts');
  const open = () =>
    Pipes.open({
      dir: join(dir, 'pipes'),
      startsFile,
      runsFile: join(dir, 'runs.json'),
      components: ['loud', 'quiet'],
      own: [],
    });
  const controlOf = (pipes: Pipes, name: string) => {
    const ring = pipes.workerData().rings.find((ring) => ring.name === name);
    if (ring === undefined) throw new Error(`no ${name}`);
    return ringViews(ring.memory).control;
  };
  const startIn = () => Number(readFileSync(startsFile, 'utf8'));

  const pipes = await open();
  const loud = controlOf(pipes, 'loud');
  t.equal(startIn(), 1);
  loud[ringWord.written] = 1.4 * sequencesPerStart;
  pipes.reserveNumbers();
  t.equal(startIn(), 1);
  loud[ringWord.written] = 1.6 * sequencesPerStart;
  pipes.reserveNumbers();
  t.equal(startIn(), 2, 'before they are used up');
  loud[ringWord.written] = 4.1 * sequencesPerStart;
  pipes.reserveNumbers();
  t.equal(startIn(), 4);
  pipes.close();

  const next = await open();
  for (const name of ['loud', 'quiet']) {
    t.equal(controlOf(next, name)[ringWord.origin], 5 * sequencesPerStart);
  }
  next.close();
});

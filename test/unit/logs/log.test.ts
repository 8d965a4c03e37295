import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLog } from '../../../src/lib/log.js';
import { PipeWriter } from '../../../src/lib/pipe-writer.js';
import { poll } from '../../../src/lib/time.js';

const pipeBytes = 65_536;

/** A named pipe with nobody at its other end but us. */
class Pipe {
  readonly fd: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'hamlet-log-'));

  constructor() {
    const path = join(this.#folder, 'pipe');
    execFileSync('mkfifo', [path]);
    this.fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  }

  /** All that is in it now. */
  read(): string {
    const buffer = Buffer.alloc(2 * pipeBytes);
    try {
      return buffer.toString('utf8', 0, readSync(this.fd, buffer));
    } catch {
      return '';
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    rmSync(this.#folder, { recursive: true });
  }
}

void t.test('a line is in the pipe when write returns', (t) => {
  using pipe = new Pipe();
  const writer = new PipeWriter({ fd: pipe.fd, describeDropped: () => '' });
  writer.write('one\n');
  writer.write('two\n');
  t.equal(pipe.read(), 'one\ntwo\n');
  t.end();
});

void t.test('what finds no room waits in order, then is counted, and then the count is said', async (t) => {
  using pipe = new Pipe();
  const maxWaiting = 100_000;
  const writer = new PipeWriter({ fd: pipe.fd, maxWaiting, describeDropped: (n) => `dropped ${n}\n` });
  const line = (i: number) => `${String(i).padStart(8)} ${'x'.repeat(90)}\n`;
  const count = 4_000;
  for (let i = 0; i < count; i += 1) writer.write(line(i));
  let text = '';
  await poll(() => ((text += pipe.read()).includes('dropped') ? text : undefined), {
    everyMs: 2,
    timeoutMs: 10_000,
    what: 'the count of what was dropped',
  });
  const lines = text.split('\n').slice(0, -1);
  const dropped = Number(/^dropped (\d+)$/.exec(lines.pop() ?? '')?.[1]);
  t.equal(lines.length + dropped, count);
  // A line that no longer fits into a page of the pipe begins the next one.
  t.ok(lines.length >= (0.95 * (pipeBytes + maxWaiting)) / 100, `${lines.length} lines kept`);
  t.ok(dropped > 0);
  t.equal(
    lines.findIndex((text, i) => `${text}\n` !== line(i)),
    -1,
    'in order and whole',
  );
  writer.write('after\n');
  t.equal(pipe.read(), 'after\n');
});

void t.test('a line longer than a pipe takes at once arrives whole', async (t) => {
  using pipe = new Pipe();
  const writer = new PipeWriter({ fd: pipe.fd, describeDropped: () => '' });
  const long = `${'a'.repeat(200_000)}\n`;
  writer.write('before\n');
  writer.write(long);
  writer.write('after\n');
  let text = '';
  await poll(() => ((text += pipe.read()).endsWith('after\n') ? text : undefined), {
    everyMs: 2,
    timeoutMs: 10_000,
    what: 'the whole line',
  });
  t.ok(text === `before\n${long}after\n`);
});

void t.test('an error of the pipe is thrown', (t) => {
  const writer = new PipeWriter({ fd: openSync('/dev/null', 'r'), describeDropped: () => '' });
  t.throws(() => writer.write('one\n'), { code: 'EBADF' });
  t.end();
});

void t.test('a log is JSON lines with the name of who wrote them', (t) => {
  using pipe = new Pipe();
  const log = createLog('hamlet.certs', pipe.fd);
  log.info({ count: 3 }, 'three of them');
  log.debug('not at this level');
  log.error({ err: new Error('broken') }, 'it broke');
  const lines = pipe.read().split('\n').slice(0, -1);
  t.match(
    lines.map((line) => JSON.parse(line) as object),
    [
      { level: 30, name: 'hamlet.certs', count: 3, msg: 'three of them', time: Number },
      {
        level: 50,
        name: 'hamlet.certs',
        msg: 'it broke',
        err: { message: 'broken', stack: /log\.test/ },
      },
    ],
  );
  t.equal(lines.length, 2);
  t.end();
});

void t.test('a log that nobody has read says how much is missing', async (t) => {
  using pipe = new Pipe();
  const log = createLog('hamlet', pipe.fd);
  for (let i = 0; i < 20_000; i += 1) log.info('a line that nobody reads');
  let text = '';
  await poll(() => ((text += pipe.read()).includes('"dropped":') ? text : undefined), {
    everyMs: 2,
    timeoutMs: 10_000,
    what: 'the record of the drops',
  });
  const lines = text.split('\n').slice(0, -1);
  const last = JSON.parse(lines.pop() ?? '') as { dropped: number };
  t.match(last, { level: 40, name: 'hamlet', msg: /lines were dropped here/ });
  t.equal(lines.length + last.dropped, 20_000);
});

import t from 'tap';
import { textProgress } from '../../../src/provision/progress.js';

function output(isTTY: boolean) {
  const parts: string[] = [];
  return { isTTY, columns: 40, write: (text: string) => parts.push(text), text: () => parts.join('') };
}

void t.test('in a log each step has its beginning and its end on lines of their own', async (t) => {
  const out = output(false);
  const progress = textProgress(out);
  progress.note('Setting up.');
  t.equal(await progress.step('Download', async () => 7), 7);
  await t.rejects(
    progress.step('Build', async (report) => {
      report('1 of 2');
      throw new Error('no');
    }),
    { message: 'no' },
  );
  t.match(
    out.text(),
    /^Setting up\.\n {2}Download\n {2}Download: done \(\d+ ms\)\n {2}Build\n {2}Build: not done \(\d+ ms\)\n$/,
  );
});

void t.test('a terminal shows one line that is drawn over', async (t) => {
  const out = output(true);
  let shown = () => {};
  const drawn = new Promise<void>((resolve) => (shown = resolve));
  const write = out.write;
  out.write = (text) => {
    if (text.includes('1 of 2')) shown();
    return write(text);
  };
  await textProgress(out).step('Build', (report) => {
    report(`1 of 2 ${'long '.repeat(30)}`);
    return drawn;
  });
  const lines = out.text().split('\r\x1b[K');
  t.ok(
    lines.slice(1, -1).every((line) => line.length < 40 && !line.includes('\n')),
    'no line wraps',
  );
  t.match(lines.at(-1), /^ {2}Build: done \(.*\)\n$/);
});

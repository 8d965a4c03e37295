import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const module = fileURLToPath(new URL('../../../src/host/file-limit.js', import.meta.url));
const script = `
  import { raiseFileLimit } from ${JSON.stringify(module)};
  const say = (level) => (fields, message) => console.log(level + ': ' + fields.files + ': ' + message);
  await raiseFileLimit({ info: say('info'), warn: say('warn') });
`;

void t.test('the limit of open files is raised as far as it goes, and logged', (t) => {
  const args = ['-c', 'ulimit -n 1000 && exec "$0" --input-type=module -e "$1"', process.execPath, script];
  const { stdout, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
  // Whether it may be raised is up to the machine.
  t.match(
    stdout,
    /^(info: (\d+): up to \2 files may be open|warn: (\d+): only up to \3 files may be open, and not \d+: .+)\n$/,
  );
  t.equal(stderr, '');
  const [, files] = /: (\d+): /.exec(stdout) ?? [];
  t.ok(Number(files) >= 1_000);
  t.end();
});

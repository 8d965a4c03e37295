import t from 'tap';
import { endpointFrom, parse } from '../../../src/cli/arguments.js';
import { formatAge, table, withoutControls } from '../../../src/cli/output.js';

void t.test('endpoints', async (t) => {
  for (const [given, endpoint] of [
    ['192.0.2.7:1234', '192.0.2.7:1234'],
    ['192.0.2.7', '192.0.2.7:7837'],
    [':1234', '127.0.0.1:1234'],
    ['node.example', 'node.example:7837'],
    ['[::1]', '[::1]:7837'],
    ['[2001:db8::7]:1234', '[2001:db8::7]:1234'],
  ] as const) {
    t.equal(endpointFrom(given), endpoint);
  }
  for (const wrong of ['', ':', 'a:', 'a:0', 'a:65536', '::1', 'http://a:1', 'a b:1', '[::1']) {
    t.throws(() => endpointFrom(wrong), { name: 'UsageError' }, wrong);
  }
});

void t.test('options and words', async (t) => {
  const specs = { tail: { short: 'n', takes: 'N' }, help: { short: 'h' } } as const;
  t.strictSame(parse(['etcd', '-n', '5', '--tail=7'], specs), { options: { tail: '7' }, words: ['etcd'] });
  t.strictSame(parse(['-hn5', '--', '--tail'], specs), {
    options: { help: '', tail: '5' },
    words: ['--tail'],
  });
  t.strictSame(parse(['--tail', '-5'], specs), { options: { tail: '-5' }, words: [] });
  for (const wrong of [['--constructor'], ['-x'], ['--tail'], ['--tail='], ['--help=yes'], ['--no-tail']]) {
    t.throws(() => parse(wrong, specs), { name: 'UsageError' }, wrong.join(' '));
  }
});

void t.test('ages', async (t) => {
  const seconds = [-3, 0, 59, 60, 3_599, 3_600, 86_399, 86_400, 200_000];
  t.strictSame(
    seconds.map((age) => formatAge(age * 1_000)),
    ['0s', '0s', '59s', '1m0s', '59m59s', '1h0m', '23h59m', '1d0h', '2d7h'],
  );
});

void t.test('tables and control characters', async (t) => {
  t.equal(
    table([
      ['A', 'LONG'],
      ['longer', ''],
      ['x', 'y'],
    ]),
    'A       LONG\nlonger\nx       y\n',
  );
  t.equal(withoutControls('a\tb\nc\x1b[0m\x7f\x9b1m\r é'), 'a\tb\nc\\x1b[0m\\x7f\\x9b1m\\x0d é');
});

import t from 'tap';
import type { ConditionUpdate } from '../../../src/ipc/services/host.js';
import { HamletError } from '../../../src/lib/errors.js';
import { RemoteCondition } from '../../../src/workers/debug/remote-condition.js';
import { parsePki } from '../../../src/workers/certs/pki.js';
import { facts, freshPki } from '../certs/fixtures.js';

void t.test('what is to be said of the listener for other machines', async (t) => {
  const { certificate } = parsePki(await freshPki(), facts, Date.now()).leaves['debug-server'];
  let nowMs = Date.now();
  let last: ConditionUpdate | undefined;
  const condition = new RemoteCondition({
    where: { address: '192.0.2.7', port: 7838 },
    report: (update) => (last = update),
    now: () => nowMs,
    ticks: () => nowMs,
  });
  const credentials = { ca: '', cert: certificate.toString(), key: '' };
  const details = { address: '192.0.2.7', port: 7838 };
  const away = new HamletError('UNAVAILABLE', 'there is no PKI yet');
  t.match(last, { name: 'RemoteDebugReady', status: 'false', reason: 'Starting' });
  condition.failed(away);
  t.match(last, { status: 'false', reason: 'Starting', message: /: there is no PKI yet$/ });
  condition.failed(new HamletError('INVALID_ARGUMENT', 'cannot listen on 192.0.2.7:7838', { details }));
  t.match(last, { status: 'false', reason: 'CannotListen', message: /: cannot listen on / });
  condition.failed(new HamletError('PERMISSION_DENIED', 'no'));
  t.match(last, { status: 'false', reason: 'NotDelivered', message: /^nobody is let in/ });

  condition.serves(credentials);
  t.match(last, { status: 'true', reason: '', message: /at 192\.0\.2\.7:7838; the node's own ends on / });
  condition.failed(away);
  t.match(last, { status: 'true' }, 'a worker that is started again is no reason');
  nowMs += 61_000;
  condition.failed(away);
  t.match(
    last,
    { status: 'false', reason: 'NotDelivered', message: / see ends on / },
    'unless it stays away',
  );
  condition.serves(credentials);
  t.match(last, { status: 'true' });
  nowMs = Date.parse(certificate.validTo);
  condition.failed(away);
  t.match(last, { status: 'false', reason: 'Expired', message: / see ended on / });
});

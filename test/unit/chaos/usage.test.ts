import t from 'tap';
import { kindOf, standbysOfOne } from '../../chaos/usage.js';

const standby = (...command: string[]) => [
  '/bin/sh',
  '-c',
  'read go; exec "$@"',
  'hamlet-standby',
  ...command,
];

void t.test('a shell that waits for a start is told from what lasts and from what passes', (t) => {
  t.equal(kindOf(['/usr/bin/etcd', '--name=hamlet']), 'lasting');
  t.equal(kindOf(['/usr/bin/node', 'main.js']), 'passing');
  t.equal(kindOf(['sleep', '0.1']), 'passing', 'a pod is between two of these now and then');
  t.equal(kindOf(['/bin/sh', '-c', 'counts']), 'lasting', 'any other shell is of a pod');
  t.equal(kindOf([]), 'lasting');
  t.same(kindOf(standby('/usr/bin/etcd', '--name=hamlet')), { standbyFor: '/usr/bin/etcd' });
  t.same(kindOf(standby('/x/kube', 'kube-proxy', '--config=y')), { standbyFor: '/x/kube kube-proxy' });
  t.same(kindOf(standby('/usr/bin/etcd')), { standbyFor: '/usr/bin/etcd' });
  t.end();
});

void t.test('there are as many of them as the component has that has most', (t) => {
  const kinds = (...argvs: string[][]) => argvs.map(kindOf);
  const [etcd, proxy] = [standby('etcd', '--a'), standby('kube', 'kube-proxy', '--a')];
  t.equal(standbysOfOne(kinds(['etcd', '--a'])), 0);
  t.equal(standbysOfOne(kinds(etcd, proxy, standby('kube', 'kube-scheduler'))), 1);
  t.equal(standbysOfOne(kinds(etcd, proxy, standby('etcd', '--other'))), 2);
  t.end();
});

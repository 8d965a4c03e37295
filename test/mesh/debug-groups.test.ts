import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { dbg } from './debug-remote-fixture.js';

t.setTimeout(120_000);

const fixture = fileURLToPath(new URL('./fixtures/debug-groups.js', import.meta.url));
const skip = process.geteuid?.() !== 0 && 'it takes other users’ places';

/** IDs that no machine is likely to have; nothing is made of them but processes. */
const hamletGid = 70_000;
const users = { ann: 70_001, cy: 70_002, bob: 70_003, dan: 70_004 } as const;

/** The worker sees these in /etc, and nobody else does: they are mounted in a namespace of its own. */
const etc = {
  passwd: `root:x:0:0::/:/bin/sh
ann:x:${users.ann}:${users.ann}::/:/bin/sh
cy:x:${users.cy}:${users.cy}::/:/bin/sh
bob:x:${users.bob}:${users.bob}::/:/bin/sh
dan:x:${users.dan}:${hamletGid}::/:/bin/sh
`,
  group: `root:x:0:\nhamlet:x:${hamletGid}:ann\nhamlet-read:x:70010:cy\n`,
};

void t.test('who may do what by the groups of the machine', { skip }, async (t) => {
  const folder = t.testdir(etc);
  const mounts = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"';
  const args = ['-m', 'sh', '-c', mounts, folder, process.execPath, fixture];
  const worker = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(worker, 'exit');
  t.teardown(async () => {
    worker.stdin.end();
    await ended;
  });
  const [line] = (await once(worker.stdout.setEncoding('utf8'), 'data')) as [string];
  const { socket, port } = JSON.parse(line) as { readonly socket: string; readonly port: number };
  const { mode, gid } = statSync(socket);
  t.same([mode & 0o777, gid], [0o660, hamletGid], "the socket is the group's");

  const allowed = { code: 0, stderr: '' };
  const closed = { code: 1, stderr: /you may not open it; root may, and the group hamlet/ };
  const refused = (group: string) => ({
    code: 1,
    stderr: new RegExp(`may not do this; root may, and the group ${group}\n`),
  });
  const [noLook, noAct] = [refused('hamlet or hamlet-read'), refused('hamlet')];
  for (const [name, groups, over, look, act] of [
    ['ann', 'a member of hamlet', 'socket', allowed, allowed],
    ['ann', 'a member of hamlet', 'port', allowed, allowed],
    ['dan', 'whose own group is hamlet', 'socket', allowed, allowed],
    ['dan', 'whose own group is hamlet', 'port', allowed, allowed],
    ['cy', 'a member of hamlet-read', 'socket', closed, closed],
    ['cy', 'a member of hamlet-read', 'port', allowed, noAct],
    ['bob', 'of neither group', 'socket', closed, closed],
    ['bob', 'of neither group', 'port', noLook, noAct],
  ] as const) {
    const uid = users[name];
    const isMember = name === 'ann' || name === 'dan';
    const user = { uid, gid: isMember ? hamletGid : uid };
    const endpoint = over === 'socket' ? `unix:${socket}` : `127.0.0.1:${port}`;
    const whom = `${name}, ${groups}, at the ${over}`;
    t.match(await dbg(endpoint, ['condition', 'NodeReady'], user), look, `${whom}, looks`);
    t.match(await dbg(endpoint, ['audit'], user), act, `${whom}, reads the record`);
  }
});

import t from 'tap';
import { describeCause, describeState, type Cause, type State } from '../../../src/supervision/state.js';

const nowMs = 10_000;

void t.test('each cause is told apart in words', async (t) => {
  const causes: readonly (readonly [Cause, string])[] = [
    [{ kind: 'exited', code: 0 }, 'exited with code 0'],
    [{ kind: 'killed', signal: 'SIGKILL' }, 'killed by SIGKILL'],
    [{ kind: 'out-of-memory' }, 'ran out of memory'],
    [{ kind: 'exec-failed', message: 'no such file' }, 'could not be started: no such file'],
    [{ kind: 'probe-failed', message: 'no answer' }, 'stopped answering: no answer'],
    [{ kind: 'start-timeout', message: 'no leader' }, 'did not become ready: no leader'],
    [{ kind: 'error', message: 'no credentials' }, 'no credentials'],
  ];
  for (const [cause, words] of causes) t.equal(describeCause(cause), words);
});

void t.test('each state says what a person would ask next', async (t) => {
  const cause: Cause = { kind: 'exited', code: 1 };
  const starting = { kind: 'starting', cause: null, sinceMs: 0, executedMs: 1 } as const;
  const stopping = { kind: 'stopping', killAtMs: 0 } as const;
  const failing = { sinceMs: 0, probes: 1, message: 'no answer' };
  const states: readonly (readonly [State, string])[] = [
    [{ kind: 'waiting', for: ['a', 'b'], cause: null }, 'waits for a, b'],
    [{ kind: 'waiting', for: [], cause: null }, 'waits for its turn'],
    [{ kind: 'waiting', for: ['a'], cause }, 'exited with code 1; waits for a'],
    [{ ...starting, executedMs: null, lastProbe: '' }, 'its start is being prepared'],
    [
      { ...starting, cause, executedMs: null, lastProbe: '' },
      'exited with code 1; its start is being prepared',
    ],
    [{ ...starting, lastProbe: '' }, 'starting'],
    [{ ...starting, lastProbe: 'no leader' }, 'starting: no leader'],
    [{ kind: 'healthy', sinceMs: 0, failing: null }, 'healthy'],
    [{ kind: 'healthy', sinceMs: 0, failing }, 'healthy, but its probe fails: no answer'],
    [{ ...stopping, killed: false, cause: null }, 'stopping'],
    [{ ...stopping, killed: false, cause }, 'stopping: exited with code 1'],
    [{ ...stopping, killed: true, cause: null }, 'stopping; killed, and not gone yet'],
    [{ kind: 'backoff', untilMs: nowMs + 1_500, cause }, 'exited with code 1; next try in 1.5 s'],
    [{ kind: 'backoff', untilMs: nowMs, cause }, 'exited with code 1; started again at once'],
    [{ kind: 'stopped' }, 'stopped'],
  ];
  for (const [state, words] of states) t.equal(describeState(state, nowMs), words);
});

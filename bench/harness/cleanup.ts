/**
 * What a run of the bench leaves behind when it dies half way: children, a Postgres in a session of
 * its own, gigabytes of temporary data. Everything that outlives a function is registered here, and
 * is undone whether the run ends, fails or is interrupted.
 */
type Undo = () => void;

const pending = new Set<Undo>();

/** `undo` must be synchronous: it runs in the `exit` event. Returns a function that forgets it. */
export function undoAtExit(undo: Undo): () => void {
  if (pending.size === 0) listen();
  pending.add(undo);
  return () => pending.delete(undo);
}

let listening = false;

function listen(): void {
  if (listening) return;
  listening = true;
  process.on('exit', undoAll);
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
}

/** In reverse, as with any unwinding: children before the directories that they write to. */
function undoAll(): void {
  for (const undo of [...pending].toReversed()) {
    try {
      undo();
    } catch (err) {
      console.error('bench: could not clean up:', err);
    }
  }
}

/**
 * Hints that something in a directory may have changed. The directory is watched, never a file: a
 * ConfigMap changes by swapping a symlink beside it. A hint can be lost, and with the directory the
 * watch is; whoever needs to know looks for himself as well, and renews the watch then.
 * Source: inotify(7).
 */
import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'

export interface DirectoryWatch {
  /** Watches what the path means now. Never rejects. */
  renew(): Promise<void>
  close(): void
}

export function watchDirectory(directory: string, onHint: () => void): DirectoryWatch {
  let watcher: FSWatcher | undefined
  let watched: string | undefined
  let isClosed = false

  return {
    async renew() {
      const found = await identify(directory)
      if (isClosed || found === watched) return
      watcher?.close()
      watched = found
      watcher = found === undefined ? undefined : open()
    },
    close() {
      isClosed = true
      watcher?.close()
    }
  }

  /** Undefined where the system gives no more watches. */
  function open(): FSWatcher | undefined {
    try {
      const opened = watch(directory, { persistent: false }, onHint)
      return opened.on('error', () => (watched = undefined))
    } catch {
      watched = undefined
      return undefined
    }
  }
}

/** Which directory it is, also when another one got its number; undefined: there is none. */
async function identify(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await stat(directory, { bigint: true })
    return `${dev} ${ino} ${birthtimeNs}`
  } catch {
    return undefined
  }
}

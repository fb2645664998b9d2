import { Modal, type ModalProps } from '@mantine/core'
import { useId, useLayoutEffect } from 'react'
import { createStore, useStore } from '../app/store.ts'
import { useFocusBack } from './focus-back.ts'

const opened = createStore<readonly string[]>([])

/**
 * A dialog. Escape closes the one on top alone: each listens by itself, and one below would go with it, along with what was typed in it.
 * Also when the one on top takes no Escape, as the one that asks for the login again.
 */
export function Dialog({ closeOnEscape = true, ...props }: ModalProps) {
  const id = useId()
  const isTop = useStore(opened).at(-1) === id
  useLayoutEffect(() => {
    if (!props.opened) return
    opened.set([...opened.get(), id])
    return () => {
      // When the key is dealt with: the one below is still to hear of the same press.
      setTimeout(() => opened.set(opened.get().filter((one) => one !== id)))
    }
  }, [props.opened, id])
  useFocusBack(props.opened)
  return <Modal {...props} closeOnEscape={closeOnEscape && isTop} />
}

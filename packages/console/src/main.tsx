import '@mantine/core/styles.css'
import './console.css'
import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode, startTransition } from 'react'
import { createRoot } from 'react-dom/client'
import { HereProvider } from './app/here.tsx'
import { styleNonce, takeSignInFailure } from './app/page-settings.ts'
import { router } from './app/router.tsx'
import { askWhoLooks } from './app/session.tsx'
import { theme, variables } from './app/theme.ts'
import { nextTurn } from './app/turns.ts'
import { openWords } from './words/index.ts'

// What the identity provider's door appends; the cookie tells it again (GET /auth/session), and no address should hold it.
takeSignInFailure()
if (location.hash.startsWith('#csrf_token=')) history.replaceState(null, '', location.pathname + location.search)

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: false,
      staleTime: 5_000,
      refetchOnReconnect: true,
      // A browser that calls itself offline still reaches a server on its own machine or network.
      networkMode: 'always',
      // By itself the library draws a component again for what it has read of a query. A page that is drawn in pieces gives its query to
      // parts that have not read it yet: what is answered in between would never be shown.
      notifyOnChangeProps: 'all',
    },
    mutations: { retry: false, networkMode: 'always' },
  },
})

// To load what stands above took one turn; what follows are others.
await nextTurn()
askWhoLooks(queries)
await nextTurn()
await openWords()
const root = createRoot(document.getElementById('root')!)
// In pieces, between which the browser may do other things.
startTransition(() =>
  root.render(
    <StrictMode>
      <MantineProvider
        theme={theme}
        defaultColorScheme="auto"
        cssVariablesResolver={variables}
        getStyleNonce={() => styleNonce}
      >
        <QueryClientProvider client={queries}>
          <HereProvider>
            <RouterProvider router={router} />
          </HereProvider>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  ),
)

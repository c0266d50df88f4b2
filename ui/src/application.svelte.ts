/** The state of the application in whose window this page is; nothing of it is known in a browser. */

import { transport } from './api';
import type { AppControls, AppState } from './transport';

class Application {
  state = $state.raw<AppState | null>(null);

  /** Follows the state until the returned function is called. */
  follow(app: AppControls): () => void {
    const look = () => {
      // Without it, the window only lacks what is about the application.
      app.state().then(
        (state) => (this.state = state),
        () => undefined,
      );
    };
    look();
    return app.onChange(look);
  }
}

export const application = new Application();

/** Does `change` to the application, and reads what came of it. */
export async function changeApplication(change: (app: AppControls) => Promise<unknown>): Promise<void> {
  const { app } = transport;
  if (!app) return;
  await change(app);
  application.state = await app.state();
}

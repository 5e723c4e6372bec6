// SPDX-License-Identifier: BSD-3-Clause

//! The pools' one home: SPDK's application thread, from the module's start to its end.

use std::rc::Rc;

use futures::future::LocalBoxFuture;
use uuid::Uuid;

use super::service::Service;
use crate::spdk::app_local::AppLocal;
use crate::spdk::tasks;

/// What the application thread holds for pools.
pub struct Runtime {
    pub service: Service,
    /// Loads the volumes of a pool.
    loader: Loader,
}

impl core::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Runtime {{ service: {:?} }}", self.service)
    }
}

impl Runtime {
    /// Loads the volumes of a pool that was activated.
    pub async fn load_volumes(self: &Rc<Runtime>, pool: Uuid) {
        (self.loader)(Rc::clone(self), pool).await;
    }
}

/// Loads the volumes of a pool that was activated. Set by the code that has volumes, which pools know nothing of.
pub type Loader = fn(Rc<Runtime>, Uuid) -> LocalBoxFuture<'static, ()>;

static RUNTIME: AppLocal<Runtime> = AppLocal::new();

/// Starts. On the application thread, when SPDK initialises the module.
pub fn start(loader: Loader) {
    RUNTIME.set(Some(Rc::new(Runtime { service: Service::default(), loader })));
}

/// Closes all pools, drops what is left, and then calls `done`. On the application thread.
pub fn finish(done: impl FnOnce() + Send + 'static) {
    let Some(runtime) = get() else { return done() };
    let close = async move { runtime.service.finish().await };
    tasks::finish(close, move || {
        RUNTIME.set(None);
        tasks::stop();
        done();
    });
}

/// The runtime; none on other threads, before the start and after the end.
pub fn get() -> Option<Rc<Runtime>> {
    RUNTIME.get()
}

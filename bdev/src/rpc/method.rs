// SPDX-License-Identifier: BSD-3-Clause

//! An entry of the table of methods.

use core::ffi::CStr;

use crate::spdk::json::Writer;

/// What an entry of [`methods!`] says of its method; only `generate` needs it.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub struct Method {
    pub name: &'static str,
    /// What the method does, in the lines of a doc comment: the first paragraph for `rpc.py`, all for the reference.
    pub help: &'static [&'static str],
    pub params: fn() -> Vec<crate::params::Param>,
    /// The answer in words.
    pub answer: &'static str,
    /// The JSON type of the answer.
    pub answer_type: &'static str,
}

/// What a method answers.
#[cfg_attr(not(test), expect(dead_code, reason = "words and type are for what is generated"))]
pub trait Answer {
    /// The answer in words.
    const WORDS: &'static str;

    /// The JSON type of the answer, named as in SPDK's schema.
    const TYPE: &'static str;

    /// Writes the answer, one value.
    fn write(&self, writer: &mut Writer);
}

/// The answer of most methods: `true`.
pub type Done = ();

impl Answer for Done {
    const WORDS: &'static str = "`true`";
    const TYPE: &'static str = "boolean";

    fn write(&self, writer: &mut Writer) {
        writer.boolean(true);
    }
}

/// Makes a table of entries that read like functions:
///
/// ```ignore
/// /// Delete a deduplicating bdev with its content.
/// fn bdev_dedupe_delete(_, name: String = VOLUME, force: bool = flag().letter('f')) -> Done {
///     offline::delete(&name, force).await?;
/// }
/// ```
///
/// The first argument is the pools' [`Runtime`](crate::pool::runtime::Runtime), or `_` if it is not needed; the others
/// are fields as in [`params`](crate::params). The body runs as a task on the application thread. Its value is the
/// answer; an error that `?` meets refuses the request.
///
/// `register` registers the methods with SPDK; `METHODS` describes them. Unit tests, which cannot link SPDK, use
/// `METHODS`.
macro_rules! methods {
    ($(
        $(#[doc = $help:literal])+
        fn $name:ident($runtime:tt $(, $(#[doc = $about:literal])* $field:ident: $type:ty $(= $param:expr)?)* $(,)?)
            -> $answer:ty $work:block
    )+) => {
        $(mod $name {
            #[allow(unused_imports, reason = "a method may need nothing of the file's")]
            use super::*;

            /// The descriptions of the parameters.
            pub fn params() -> Vec<$crate::params::Param> {
                #[allow(unused_mut, reason = "a method may have no parameters")]
                let mut all = Vec::new();
                $($crate::params::list_field!(&mut all, [$($about),*] $field: $type $(= $param)?);)*
                all
            }

            /// See [`Serve`](crate::spdk::json_rpc::Serve).
            pub enum Method {}

            impl $crate::spdk::json_rpc::Serve for Method {
                const NAME: &core::ffi::CStr = $crate::rpc::method::c_name(concat!(stringify!($name), "\0"));

                fn serve(request: $crate::spdk::json_rpc::Request, given: Option<$crate::spdk::json::Fields>) {
                    $crate::rpc::serve::serve(request, given, &params(), |_reader| {
                        $(let $field = $crate::params::read_field!(_reader, $field: $type $(= $param)?);)*
                        Ok(move |$runtime: std::rc::Rc<$crate::pool::runtime::Runtime>| async move {
                            Ok::<$answer, $crate::rpc::serve::Refusal>($work)
                        })
                    });
                }
            }
        })+

        /// Registers the methods with SPDK.
        pub fn register() {
            $($crate::spdk::json_rpc::register::<$name::Method>();)+
        }

        /// The descriptions of the methods.
        #[cfg(test)]
        pub const METHODS: &[$crate::rpc::method::Method] = &[$($crate::rpc::method::Method {
            name: stringify!($name),
            help: &[$($help),+],
            params: $name::params,
            answer: <$answer as $crate::rpc::method::Answer>::WORDS,
            answer_type: <$answer as $crate::rpc::method::Answer>::TYPE,
        }),+];
    };
}

pub(crate) use methods;

/// A name that ends with its only NUL.
pub const fn c_name(name: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("an identifier has no zeros"),
    }
}

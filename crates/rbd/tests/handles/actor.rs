//! One thread and its images: what it does with them, drawn at random.

use crate::LIMIT;
use crate::draw::Draw;
use crate::site::{Connected, GOLDEN, SIZE, Site};
use bytes::Bytes;
use rbd::{Errno, Error, Image, ImageOptions, Progress, Result};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What there is to do, and how often it was done.
macro_rules! actions {
    ($($field:ident $weight:literal $words:literal;)*) => {
        #[derive(Default)]
        pub(crate) struct Counts { $($field: u64,)* }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Counts) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let total: u64 = [$(self.$field),*].iter().sum();
                write!(f, "{total} actions:")?;
                let all = [$((self.$field, $words)),*];
                all.iter().enumerate().try_for_each(|(i, (count, words))| {
                    write!(f, "{} {count} {words}", if i == 0 { "" } else { "," })
                })
            }
        }

        impl Actor {
            async fn act(&mut self) -> Result<()> {
                let mut drawn = self.draw.below(0 $(+ $weight)*);
                $(
                    if drawn < $weight {
                        self.counts.$field += 1;
                        return self.$field().await.map_err(|error| {
                            println!("{} failed: {error}", stringify!($field));
                            error
                        });
                    }
                    drawn -= $weight;
                )*
                let _ = drawn;
                Ok(())
            }
        }
    };
}

actions! {
    open_snapshot 24 "opens at a snapshot";
    open_two 8 "pairs of opens";
    open_head 12 "writes to heads";
    drop_busy 8 "drops with writes in flight";
    abandon_open 16 "opens given up";
    abandon_close 12 "closes given up";
    switch_snapshot 6 "changes of snapshot";
    take_snapshot 2 "snapshots";
    clone_golden 3 "clones";
    cancel_flatten 2 "flattens cancelled";
    pass_through_trash 3 "ways through trash";
    abandon_removal 3 "removals given up";
    hear_watchers 4 "questions for watchers";
    miss_snapshot 4 "opens at no snapshot";
    reconnect 1 "reconnects";
}

pub(crate) struct Actor {
    site: Arc<Site>,
    draw: Draw,
    name: Vec<u8>,
    counts: Counts,
}

/// Succeeds also where an error is one of those that races between a call given up and the next one explain.
fn raced<T>(answer: Result<T>, errors: &[Errno]) -> Result<Option<T>> {
    match answer {
        Err(error) if error.errno().is_some_and(|errno| errors.contains(&errno)) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Succeeds also where a call was given up or cancelled, as was meant.
fn given_up<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::GivenUp { .. } | Error::Cancelled { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

impl Actor {
    pub(crate) fn new(number: usize, site: Arc<Site>, draw: Draw) -> Self {
        Actor { site, draw, name: format!("own-{number}").into_bytes(), counts: Counts::default() }
    }

    /// Acts until told to end.
    pub(crate) async fn run(mut self, ended: &AtomicBool) -> Counts {
        while !ended.load(Ordering::Relaxed) {
            self.act().await.unwrap();
        }
        self.counts
    }

    /// A handle to read the golden snapshot.
    async fn golden(on: &Connected) -> Result<Image> {
        on.pool.open_by_id_read_only(&on.golden_id, Some(b"s"), LIMIT).await
    }

    /// This thread's own image, open to write.
    async fn own(&self, on: &Connected) -> Result<Image> {
        raced(on.pool.create(&self.name, SIZE, &ImageOptions::default(), LIMIT).await, &[Errno::EEXIST])?;
        on.pool.open(&self.name, None, LIMIT).await
    }

    async fn open_snapshot(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = Self::golden(&on).await?;
        if self.draw.below(2) == 0 {
            assert_eq!(image.read(0, 100).await?, [7; 100]);
        }
        if self.draw.below(2) == 0 { image.close(LIMIT).await } else { Ok(()) }
    }

    async fn open_two(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let (one, two) = tokio::join!(Self::golden(&on), on.pool.open_read_only(GOLDEN, None, LIMIT));
        let (one, two) = (one?, two?);
        let (one, two) = tokio::join!(one.close(LIMIT), two.close(LIMIT));
        one.and(two)
    }

    async fn open_head(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = self.own(&on).await?;
        let offset = self.draw.below(SIZE / 4096 - 1) * 4096;
        image.write(offset, Bytes::from_static(&[1; 4096])).await?;
        if self.draw.below(2) == 0 {
            image.flush().await?;
        }
        image.close(LIMIT).await
    }

    async fn drop_busy(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = self.own(&on).await?;
        // Polled once, which begins them, and dropped.
        for offset in 0..4 {
            tokio::select! {
                biased;
                done = image.write(offset << 20, Bytes::from_static(&[2; 4096])) => done?,
                () = std::future::ready(()) => {}
            }
            tokio::select! {
                biased;
                done = image.read(offset << 20, 4096) => drop(done?),
                () = std::future::ready(()) => {}
            }
        }
        drop(image);
        Ok(())
    }

    async fn abandon_open(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let limit = self.draw.short();
        let image = match self.draw.below(3) {
            0 => on.pool.open_read_only(GOLDEN, None, limit).await,
            _ => on.pool.open_by_id_read_only(&on.golden_id, Some(b"s"), limit).await,
        };
        given_up(image).map(drop)
    }

    async fn abandon_close(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = if self.draw.below(3) == 0 { self.own(&on).await? } else { Self::golden(&on).await? };
        let limit = self.draw.short();
        given_up(image.close(limit).await).map(drop)
    }

    async fn switch_snapshot(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = on.pool.open_read_only(GOLDEN, None, LIMIT).await?;
        let id = image.snapshots(LIMIT).await?[0].id;
        image.set_snapshot(id, LIMIT).await?;
        image.close(LIMIT).await
    }

    async fn take_snapshot(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = self.own(&on).await?;
        raced(image.create_snapshot(b"own", LIMIT).await, &[Errno::EEXIST])?;
        on.pool.open_read_only(&self.name, Some(b"own"), LIMIT).await?.close(LIMIT).await?;
        image.remove_snapshot(b"own", &Progress::default(), LIMIT).await?;
        image.close(LIMIT).await
    }

    /// A clone of the golden snapshot.
    async fn cloned(&self, on: &Connected) -> Result<Vec<u8>> {
        let name = [&self.name[..], b"-clone"].concat();
        let made = on.pool.clone_image(GOLDEN, b"s", &on.pool, &name, &ImageOptions::default(), LIMIT).await;
        raced(made, &[Errno::EEXIST])?;
        Ok(name)
    }

    async fn clone_golden(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let name = self.cloned(&on).await?;
        let image = on.pool.open_read_only(&name, None, LIMIT).await?;
        if self.draw.below(2) == 0 {
            image.read(0, 100).await?;
        }
        image.close(LIMIT).await?;
        // It is busy while a handle that nobody waits for is still being closed.
        raced(on.pool.remove(&name, &Progress::default(), LIMIT).await, &[Errno::EBUSY]).map(drop)
    }

    async fn cancel_flatten(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let name = self.cloned(&on).await?;
        let image = on.pool.open(&name, None, LIMIT).await?;
        let stop = Progress::new(|_, _| ControlFlow::Break(()));
        // It is done already when an earlier one was.
        given_up(raced(image.flatten(&stop, LIMIT).await, &[Errno::EINVAL]))?;
        drop(image);
        raced(on.pool.remove(&name, &Progress::default(), LIMIT).await, &[Errno::EBUSY]).map(drop)
    }

    async fn pass_through_trash(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let name = [&self.name[..], b"-trash"].concat();
        on.pool.create(&name, SIZE, &ImageOptions::default(), LIMIT).await?;
        let image = on.pool.open(&name, None, LIMIT).await?;
        let id = image.id(LIMIT).await?;
        image.close(LIMIT).await?;
        on.pool.trash_move(&name, Duration::ZERO, LIMIT).await?;
        let image = on.pool.open_by_id(&id, None, LIMIT).await?;
        image.write(0, Bytes::from_static(&[3; 4096])).await?;
        image.close(LIMIT).await?;
        on.pool.trash_remove(&id, false, &Progress::default(), LIMIT).await
    }

    async fn abandon_removal(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let number = self.draw.below(1 << 40);
        let name = [&self.name[..], format!("-gone-{number}").as_bytes()].concat();
        on.pool.create(&name, SIZE, &ImageOptions::default(), LIMIT).await?;
        let limit = self.draw.short();
        given_up(on.pool.remove(&name, &Progress::default(), limit).await)?;
        // Again, whatever has become of the first one, which may still be at work.
        let gone = [Errno::ENOENT, Errno::EBUSY, Errno::ESTALE];
        raced(on.pool.remove(&name, &Progress::default(), LIMIT).await, &gone).map(drop)
    }

    async fn hear_watchers(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let image = self.own(&on).await?;
        let (watchers, owners) = tokio::join!(image.watchers(LIMIT), image.lock_owners(LIMIT));
        assert!(!watchers?.is_empty());
        raced(owners, &[Errno::ENOENT])?;
        image.close(LIMIT).await
    }

    async fn miss_snapshot(&mut self) -> Result<()> {
        let on = self.site.get().await;
        let missed = on.pool.open_read_only(GOLDEN, Some(b"none"), LIMIT).await;
        assert!(raced(missed, &[Errno::ENOENT])?.is_none());
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<()> {
        self.site.reconnect().await;
        Ok(())
    }
}

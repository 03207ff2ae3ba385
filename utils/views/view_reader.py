"""The images of one object as reconstruction asks for them: read once, framed at several sizes, with cameras and notes."""
from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from config import VIEW_NAMES, UserError

if TYPE_CHECKING:  # a mistyped option answers at once, so what is heavy is imported where it is used
    from utils.rendering.cameras import Camera
    from utils.views.calibration import CalibrationReport
    from utils.views.six_views import SixViews

LARGEST_IMAGE = 2048  # pixels; colors are taken from images of at most this size
PREVIEW_SIZE = 256  # pixels per image of the preview; what the field reads too, so images are read once
CALIBRATION_SIZE = 512  # pixels of the masks from which cameras are found
UNEXPLAINED_PX = 2.0  # pixels of those masks by which silhouettes may disagree without a word, once cameras are found


class ViewReader:
    """One object's images: read, masked and calibrated once, framed at every size that is asked for.

    Args:
        files, masks: {view name: path}, see utils.views.six_views.read_squares.
        object_id: str, for messages.
        background: auto, model or border, see utils.views.six_views.read_six_views.
        calibrated: find the cameras; False: the images are exact orthographic views.
        allow_missing: three to five views are enough.
    """

    def __init__(self, files: dict, object_id: str, masks: dict | None = None, background: str = "auto",
                 calibrated: bool = True, allow_missing: bool = False) -> None:
        self.files, self.object_id, self.masks, self.background = files, object_id, masks, background
        self.calibrated, self.allow_missing = calibrated, allow_missing
        self._framed: dict[int, tuple[SixViews, str | None]] = {}  # by size: the views, and how they were framed

    @cached_property
    def _squares(self):
        from utils.views.six_views import read_squares

        return read_squares(self.files, LARGEST_IMAGE, self.object_id, self.masks, self.background,
                            self.allow_missing)

    def at(self, size: int | None) -> SixViews:
        """The framed views at `size` pixels; None: as many as the largest image has, up to LARGEST_IMAGE.

        Raises:
            UserError: an image or mask cannot be used; it names file and view.
        """
        from utils.views.six_views import framed_views

        largest = max(PREVIEW_SIZE, min(self._squares.largest, LARGEST_IMAGE))
        size = largest if size is None else size
        if size not in self._framed:  # a field asks for three, which are framed together
            usual = {PREVIEW_SIZE, CALIBRATION_SIZE, largest} if self.calibrated and not self._framed else set()
            self._framed |= framed_views(self._squares, usual | {size})
        return self._framed[size][0]

    @property
    def cameras(self) -> list[Camera]:
        """Cameras of the views that are present, in VIEW_NAMES order.

        Raises:
            UserError: the views do not fix their cameras.
        """
        return self._calibration[0]

    @property
    def report(self) -> CalibrationReport | None:
        """What was found of the cameras; None where they were not looked for."""
        return self._calibration[1]

    @cached_property
    def _calibration(self):
        import numpy as np

        from utils.rendering.cameras import VIEW_CAMERAS, VIEW_EXTENT
        from utils.views.calibration import calibrate_views, lacks_silhouette

        views = self.at(CALIBRATION_SIZE)
        names = [name for name, present in zip(VIEW_NAMES, views.present) if present]
        if not self.calibrated:
            return [VIEW_CAMERAS[name] for name in names], None
        for name, mask in zip(names, views.masks[views.present]):
            if lacks_silhouette(mask):
                raise UserError(f"{(self.masks or self.files)[name]}: {lacks_silhouette(mask).format(name)}")
        # An object of half length 1 covers 1 / VIEW_EXTENT of a framed image's half width
        closeness = np.array([np.nan if half is None else half / VIEW_EXTENT for half in views.half_fields])
        return calibrate_views(views.masks[views.present], names, closeness[views.present])

    @cached_property
    def notes(self) -> list[str]:
        """What was noticed about the views, one sentence each."""
        from utils.views.view_consistency import consistency_note, swap_note

        views = self.at(PREVIEW_SIZE)
        notes = [self._framed[PREVIEW_SIZE][1], self._squares.note]
        found = self.report if self.report and self.report.kind == "found" else None
        if found:
            notes = [found.text(), self._squares.note]  # which says how they are framed as well
        missing = [name for name, present in zip(VIEW_NAMES, views.present) if not present]
        if missing:
            only = "it" if len(missing) == 1 else "they"
            notes.append(f"without {', '.join(missing)}: what only {only} would show is guessed")
        else:  # cameras that explain the silhouettes explain boxes that differ, but not views that are exchanged
            explained = found is not None and found.error_after <= UNEXPLAINED_PX
            notes.append((swap_note if explained else consistency_note)(views.images, views.masks))
        return [note for note in notes if note]

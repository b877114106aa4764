"""Headers of objects: which object is part of which DICOM series, read from the first kilobytes of each."""

# Where the real objects are: read by the other scripts of this folder.
#
# The ids, and which side each is on, are listed in data/splits/real_objects.txt; data/splits/README.md says where they come
# from. Set the two variables to folders that hold OBJs/<id>/*.obj, input_images/<id>_<view>.{png,jpg} and objects.csv.
: "${MITO3D_REAL_OBJECTS:?set it to the folder of the first 181 real objects (see data/splits/README.md)}"
: "${MITO3D_MORE_OBJECTS:?set it to the folder of the other 233 real objects (see data/splits/README.md)}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
REAL=(--obj_dir "$MITO3D_REAL_OBJECTS/OBJs,$MITO3D_MORE_OBJECTS/OBJs"
      --images_dir "$MITO3D_REAL_OBJECTS/input_images,$MITO3D_MORE_OBJECTS/input_images"
      --split_file data/splits/real_objects.txt)
